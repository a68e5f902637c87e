"""SMB Direct (MS-SMBD) as pure state: packets and completions in, packets and events out. No I/O, no clock."""
