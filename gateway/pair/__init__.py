"""Two gateways, one site: each stands in for the other one when that is gone."""
