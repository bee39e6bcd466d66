about: sync_client of cyrus-imapd 3.12, as Debian packages it
extends: client-cyrus
