"$hone" run r.hone --quiet
"$hone" predict r.hone --weights r.safetensors picture.png
