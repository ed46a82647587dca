sed 's/Net()/Net(I = 4, H = 100000000000)/' r.hone >large.hone
"$hone" run large.hone --quiet 2>&1 | sed 's/[0-9]* MiB are/some MiB are/'
