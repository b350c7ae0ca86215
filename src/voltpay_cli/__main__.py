"""`python -m voltpay_cli` is `voltpay`."""

from voltpay_cli.app import main

main()
