"""Decides when a request may be sent: rate, requests in flight, circuit breaker, retry."""
