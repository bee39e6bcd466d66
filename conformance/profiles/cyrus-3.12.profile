about: cyrus-imapd 3.12.4, Debian 14
extends: cyrus
banner: Cyrus sync server 3.12
