"$hone" run r.hone --resume --out nothing
