"""An Omise-compatible vault that runs on this machine, to rehearse a migration and to test against."""
