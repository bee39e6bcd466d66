about: mailtwin, this source tree
banner: Cyrus sync server mailtwin
