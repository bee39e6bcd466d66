about: our sync_client
