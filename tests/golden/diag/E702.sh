rm d.safetensors
"$hone" run r.hone --quiet
