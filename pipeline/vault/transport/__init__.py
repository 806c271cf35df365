"""Carries one HTTP request and tells the truth about whether it was sent."""
