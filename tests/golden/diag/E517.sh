"$hone" run r.hone s
