"""The version of the package, the server and the HTTP API's document."""

__version__ = "0.1.0"
