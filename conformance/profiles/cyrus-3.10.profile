about: cyrus-imapd 3.10.2, Debian 13
extends: cyrus
banner: Cyrus sync server 3.10
