"""smbtorture, Samba's own test suite, run one test a process against this server or against Samba."""
