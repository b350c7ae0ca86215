"""`python -m voltpay_cli` is `voltpay`."""

from voltpay_cli.main import main

main()
