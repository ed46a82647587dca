# For e2e tests: PNG files of 8 bits from numbers.    . png.sh
# png FILE WIDTH HEIGHT COLOURS: COLOURS 0 grey, 2 RGB, 3 a palette of 256; rows of decimal bytes on stdin
bytes() { printf "$(awk '{ for (i = 1; i <= NF; i++) printf "\\x%02x", $i }')"; }
be32() { echo $(($1 >> 24 & 255)) $(($1 >> 16 & 255)) $(($1 >> 8 & 255)) $(($1 & 255)) | bytes; }
chunk() { # chunk TYPE LENGTH: data on stdin; gzip knows the checksum
  be32 "$2"
  { printf '%s' "$1"; cat; } >.chunk
  cat .chunk
  gzip <.chunk | tail -c 8 | od -An -tu1 -N4 | awk '{ print $4, $3, $2, $1 }' | bytes
}
png() {
  awk '{ print 0, $0 }' >.rows
  bytes <.rows | gzip -n >.gz
  local deflated=$(($(wc -c <.gz) - 18))
  awk '{ for (i = 1; i <= NF; i++) { a = (a + $i) % 65521; b = (b + a + 1) % 65521 } n += NF }
    END { a = (a + 1) % 65521; printf "%d %d %d %d\n", b / 256, b % 256, a / 256, a % 256 }' .rows >.adler
  {
    printf '\x89PNG\r\n\x1a\n'
    { be32 "$2"; be32 "$3"; echo 8 "$4" 0 0 0 | bytes; } | chunk IHDR 13
    [ "$4" != 3 ] || awk 'BEGIN { for (i = 0; i < 256; i++) print i, (7 * i) % 256, 255 - i }' | bytes | chunk PLTE 768
    { echo 120 1 | bytes; tail -c +11 .gz | head -c $deflated; bytes <.adler; } | chunk IDAT $((deflated + 6))
    chunk IEND 0 </dev/null
  } >"$1"
  rm .rows .gz .adler .chunk
}
