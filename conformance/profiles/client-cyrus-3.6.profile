about: sync_client of cyrus-imapd 3.6, as Debian packages it
extends: client-cyrus
