"""What an auditor reads: the trail, the manifest, the report, and the search for card numbers."""
