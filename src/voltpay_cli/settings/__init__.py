"""The settings: what there is, how they are read, loaded and shown."""

from voltpay_adapters.urls import Url
from voltpay_cli.settings.loading import Loaded, load
from voltpay_cli.settings.schema import OPTIONS, Settings

__all__ = ["OPTIONS", "Loaded", "Settings", "Url", "load"]
