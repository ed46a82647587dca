sed 's/Net()/Net(I = 4, H = 100000000000)/' r.hone >large.hone
"$hone" run large.hone --quiet 2>&1 | sed 's/[0-9]* MiB are/some MiB are/'
sed 's/steps = 4/steps = 4; memory = "1KiB"/' r.hone >small.hone
"$hone" check small.hone 2>&1 | sed 's/is [0-9.]* KiB/is some KiB/; s/again that saves memory: .*/again that saves memory: …/'
