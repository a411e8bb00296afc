"""The A2A gateway: any client, any agent, either version of the protocol."""
