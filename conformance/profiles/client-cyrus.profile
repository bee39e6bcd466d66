about: what the sync_client of Cyrus 3.2, 3.6, 3.10 and 3.12 all do

scenario: master/reply-cut-in-half
does: exit 0
reason: an answer that ends without a line end counts by what there is of it
rules: [CS-CONN-7]
