# Compares a run with PyTorch's numbers:
#   awk -v name=RECIPE -v tolerance=1e-4 -f compare_losses.awk EXPECTED.txt metrics.jsonl
# EXPECTED.txt: rows `recipe field numbers…`; the k-th record with that field in metrics.jsonl is
# compared with the k-th number, relative to it.
function field(line, key,    at) {
    at = index(line, "\"" key "\": ")
    return at ? substr(line, at + length(key) + 4) + 0 : "none"
}
FNR == NR {
    if ($1 == name) {
        for (i = 3; i <= NF; i++)
            want[$2, i - 2] = $i
        count[$2] = NF - 2
    }
    next
}
{
    for (key in count) {
        got = field($0, key)
        if (got == "none" || seen[key] == count[key])
            continue
        k = ++seen[key]
        difference = (got - want[key, k]) / want[key, k]
        if (difference < 0)
            difference = -difference
        if (!(difference <= tolerance)) {
            printf "%s: %s %d is %.7g, PyTorch has %.7g (relative %.1e)\n", name, key, k, got, want[key, k], difference
            failed = 1
        }
        if (difference > worst)
            worst = difference
    }
}
END {
    for (key in count) {
        if (seen[key] < count[key]) {
            printf "%s: %d records with %s, wanted %d\n", name, seen[key], key, count[key]
            failed = 1
        }
        keys++
    }
    if (keys == 0) {
        printf "no expected numbers for %s\n", name
        failed = 1
    }
    printf "%s: largest relative difference %.1e\n", name, worst
    exit failed
}
