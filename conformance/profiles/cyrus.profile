about: what Cyrus 3.2, 3.6, 3.10 and 3.12 all do
