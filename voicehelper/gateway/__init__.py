"""The HTTP application: routes, authentication, errors. No ray: the Serve ingress wraps it."""
