"""The core's functions as Prefect flows: retries, caching, parallel tasks, artifacts. No numerical logic."""
