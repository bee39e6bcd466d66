about: cyrus-imapd 3.6.1, Debian 12
extends: cyrus
banner: Cyrus sync server 3.6
