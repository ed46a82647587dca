: >file
"$hone" run r.hone --quiet --out file/run
