about: sync_client of cyrus-imapd 3.10, as Debian packages it
extends: client-cyrus
