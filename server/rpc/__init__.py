"""DCE/RPC over named pipes (MS-RPCE on IPC$): enough of the services for clients to list shares."""
