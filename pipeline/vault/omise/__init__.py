"""Speaks Omise's API: what a request looks like and what each answer means."""
