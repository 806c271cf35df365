"""Lets a Dask cluster start a run's carriers on other machines."""
