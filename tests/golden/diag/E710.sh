"$hone" rum r.hone
