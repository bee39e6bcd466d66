about: sync_client of cyrus-imapd 3.2, as Debian packages it
extends: client-cyrus
