about: cyrus-imapd 3.2.6, Debian 11
extends: cyrus
banner: Cyrus sync server 3.2
