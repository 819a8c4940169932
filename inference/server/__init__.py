"""Weights -> a service: uploads, a fair queue, an HTTP API and a web page. Free of torch until runs are opened."""
