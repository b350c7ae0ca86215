"""The program `voltpay`, and `python -m voltpay_cli`."""

import os
import sys


def main() -> None:
    """Run the command line, or say how to install it."""
    try:
        from voltpay_cli.app import main as run  # noqa: PLC0415 - its packages may be missing
    except ModuleNotFoundError as missing:
        print(f"voltpay: {missing.name} is missing: pip install 'voltpay[cli]'", file=sys.stderr)
        sys.exit(os.EX_CONFIG)
    run()


if __name__ == "__main__":
    main()
