head -c 100 d.safetensors >net.safetensors
sed 's/model: Net()/&\n  load "net.safetensors"/' r.hone >l.hone
"$hone" check l.hone
