"""The operator: a program of its own that keeps gateways in a Kubernetes cluster as custom resources describe them."""
