ulimit -v 400000
sed 's/Net()/Net(I = 4, H = 100000000)/' r.hone >large.hone
"$hone" run large.hone --quiet
