"""Programs that measure the server, and the client they measure it with."""
