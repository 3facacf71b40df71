# unicode.awk - build/gen/unicode_tables.h from Debian's unicode-data: the character classes and the
# canonical (de)compositions that the tokenizers library uses. awk -f unicode.awk DIRECTORY/*.txt
#
# The library mixes versions of Unicode (found by asking it about every code point; a test does so
# again): its regular expressions know 16.0, Rust's is_numeric 17.0, its normalizer 9.0. What this
# machine's files lack of the first two is listed here, what they have beyond is left out.
BEGIN {
    SORT = "sort -t, -k1,1n -k2,2n | sed 's/.*/{&},/'"
    CLASS_VERSION = 16.0
    NFC_VERSION = 9.0
    LETTER = 1; NUMBER = 2; SPACE = 4; NUMERIC = 8; UNSTABLE = 16
    later[LETTER] = "1C89-1C8A A7CB-A7CD A7DA-A7DC 105C0-105F3 10D4A-10D65 10D6F-10D85 " \
        "10EC2-10EC4 11380-11389 1138B 1138E 11390-113B5 113B7 113D1 113D3 11BC0-11BE0 " \
        "13460-143FA 16100-1611D 16D40-16D6C 18CFF 1E5D0-1E5ED 1E5F0 2EBF0-2EE5D"
    later[NUMBER] = "10D40-10D49 116D0-116E3 11BF0-11BF9 16130-16139 16D70-16D79 1CCF0-1CCF9 " \
        "1E5F1-1E5FA"
    later[NUMERIC] = later[NUMBER] " 11DE0-11DE9 16FF4-16FF6"
    for (i = 0; i < 16; i++) digit[substr("0123456789ABCDEF", i + 1, 1)] = i
}

function hex(text,    i, n) {
    for (i = 1; i <= length(text); i++) n = n * 16 + digit[substr(text, i, 1)]
    return n + 0
}

function has(value, bit) {
    return int(value / bit) % 2
}

function mark(from, to, bit,    c) {
    for (c = from; c <= to; c++) if (!has(class[c], bit)) class[c] += bit
}

# "A..B" or "A" in the first field: sets from and to
function span(field,    ends, n) {
    gsub(/[ \t]/, "", field)
    n = split(field, ends, /\.\./)
    from = hex(ends[1])
    to = hex(ends[n])
}

FILENAME != file { file = FILENAME; name = FILENAME; sub(/.*\//, "", name) }
name != "UnicodeData.txt" { sub(/#.*/, "") }
/^[ \t]*$/ { next }

name == "DerivedAge.txt" {
    split($0, f, ";"); span(f[1])
    for (c = from; c <= to; c++) age[c] = f[2] + 0
}

name == "PropList.txt" && /; *White_Space/ { split($0, f, ";"); span(f[1]); mark(from, to, SPACE) }

# Full_Composition_Exclusion: decompositions that are never put together again
name == "DerivedNormalizationProps.txt" && /; *Full_Composition_Exclusion/ {
    split($0, f, ";"); span(f[1])
    for (c = from; c <= to; c++) excluded[c] = 1
}

name == "UnicodeData.txt" {
    split($0, f, ";")
    to = hex(f[1])
    if (f[2] ~ /, First>$/) { first = to; next }
    from = f[2] ~ /, Last>$/ ? first : to
    for (c = from; c <= to; c++) {
        if (age[c] > CLASS_VERSION) continue
        if (f[3] ~ /^L/) class[c] += LETTER
        if (f[3] ~ /^N/) class[c] += NUMBER + NUMERIC
    }
    if (age[to] > NFC_VERSION) next
    if (f[4] > 0) ccc[to] = f[4]
    if (f[6] != "" && f[6] !~ /^</) mapping[to] = f[6]
}

# the full canonical decomposition as hexadecimal code points
function decompose(c,    parts, n, i, text) {
    if (!(c in mapping)) return sprintf("%X", c)
    n = split(mapping[c], parts, " ")
    for (i = 1; i <= n; i++) text = text (i > 1 ? " " : "") decompose(hex(parts[i]))
    return text
}

function write_classes(    b, i, c, line, block, blocks, seen, order) {
    for (b = 0; b < 4352; b++) {
        line = ""
        for (i = 0; i < 256; i++) {
            c = b * 256 + i
            line = line (c in class ? class[c] : 0) (i % 32 == 31 ? ",\n" : ",")
        }
        if (!(line in seen)) { seen[line] = blocks; order[blocks++] = line }
        block[b] = seen[line]
    }
    print "const uint16_t unicode_block[4352] = {"
    for (b = 0; b < 4352; b++) printf "%d,%s", block[b], b % 32 == 31 ? "\n" : ""
    printf "};\nconst uint8_t unicode_classes[%d][256] = {\n", blocks
    for (b = 0; b < blocks; b++) print "{" order[b] "},"
    print "};"
}

END {
    for (bit in later) {
        n = split(later[bit], ranges, " ")
        for (i = 1; i <= n; i++) {
            sub(/-/, "..", ranges[i]); span(ranges[i]); mark(from, to, bit)
        }
    }
    # what can change under composition: see normalize.c
    for (c in ccc) mark(c + 0, c + 0, UNSTABLE)
    for (c in mapping) {
        if (c in excluded) { mark(c + 0, c + 0, UNSTABLE); continue }
        split(mapping[c], parts, " ")
        mark(hex(parts[2]), hex(parts[2]), UNSTABLE)
    }
    mark(4449, 4469, UNSTABLE) # Hangul vowels and final consonants, composed by rule
    mark(4520, 4546, UNSTABLE)
    print "/* made by unicode.awk */"
    write_classes()
    print "const UnicodeMapping unicode_mappings[] = {"
    for (c = 0; c < 1114112; c++) {
        if (!(c in mapping)) continue
        n = split(decompose(c), parts, " ")
        printf "{%d,%d,{", c, n
        for (i = 1; i <= n; i++) printf "0x%s%s", parts[i], i < n ? "," : "}},\n"
    }
    print "};\nconst uint32_t unicode_pairs[][3] = {"
    fflush()
    for (c in mapping) if (!(c in excluded)) {
        split(mapping[c], parts, " ")
        printf "%d,%d,%d\n", hex(parts[1]), hex(parts[2]), c | SORT
    }
    close(SORT)
    print "};\nconst UnicodeCombining unicode_combining[] = {"
    for (c = 0; c < 1114112; c++) if (c in ccc) {
        for (to = c; (to + 1) in ccc && ccc[to + 1] == ccc[c]; to++);
        printf "{%d,%d,%d},\n", c, to, ccc[c]
        c = to
    }
    print "};"
}
