"""The web page that a gateway or worker serves to people."""
