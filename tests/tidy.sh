#!/bin/bash
# The rules of the code as a test: who may include whom, how long things may be, what must not be
# called, that every statement is used. Prints each breach and a count; see README for the reasons.
set -u
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C.UTF-8

FUNCTION_LINES=70
COLUMNS_MAX=100
SOURCE_LINES=400
HEADER_LINES=160
SCRIPT_LINES=250
passed=0
failed=0

# rule NAME: reads breaches on standard input; none is a pass.
rule()
{
    local found
    found=$(cat)
    if [ -z "$found" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "tidy: $1"
        sed 's/^/    /' <<<"$found"
    fi
}

c_files() { find server reward_model tests -name '*.[ch]' -not -path '*/venv/*' | sort; }
server_files() { find server reward_model -name '*.[ch]' | sort; }
text_files()
{
    c_files
    find static -name '*.js'
    echo Makefile
}

# ---- includes: dependencies point one way ----

# may FOLDER: the folders its files may include, besides their own (rm/: of reward_model/).
may()
{
    case $1 in
    rm/nn | rm/text) echo base ;;
    rm/hub) echo base rm/nn rm/text ;;
    rm/data) echo base db formats api . rm/nn rm/text rm/hub ;; # rows as the server exports them
    rm/serve) echo base formats http rm/nn rm/text rm/hub rm/run rm/. ;; # the server's own HTTP
    rm/run | rm/.) echo base formats rm/nn rm/text rm/hub rm/data rm/run rm/serve rm/. ;;
    base) echo ;;
    stats | http | db) echo base ;;
    formats) echo base db ;; # reads rows of a result, sends batches
    gateway) echo base db formats http ;;
    api) echo base db formats gateway http stats . ;;
    cli) echo api base db formats gateway http stats . ;;
    .) echo api base cli db formats gateway http stats ;;
    esac
}

folder_of()
{
    local folder=${1#server/} rm=
    case $folder in reward_model/*) rm=rm/ folder=${folder#reward_model/} ;; esac
    case $folder in */*) echo "$rm${folder%%/*}" ;; *) echo "$rm." ;; esac
}

check_includes()
{
    local file line target folder
    grep -nHo '#include "[^"]*"' $(server_files) | while IFS=: read -r file line target; do
        target=${target#*\"}
        target=${target%\"}
        [[ $target != */* && -e build/gen/$target ]] && continue
        folder=$(folder_of "$file")
        target=$(realpath -m --relative-to=. "$(dirname "$file")/$target")
        [ -e "$target" ] || { echo "$file:$line: $target is not there"; continue; }
        target=$(folder_of "$target")
        [ "$target" = "$folder" ] && continue
        # worker.h and config.h are what api/ and cli/ know of the top
        case " $(may "$folder") " in *" $target "*) continue ;; esac
        echo "$file:$line: $folder/ may not include $target/"
    done
}

# only HEADER-PATTERN WHERE-PATTERN: libraries are known in one place each.
check_libraries()
{
    local header where
    while read -r header where; do
        grep -nHE "#include <$header" $(server_files) | grep -vE "^$where" |
            sed "s,\$, -- only $where may,"
    done <<'LIST'
microhttpd\.h server/http/
libpq-fe\.h (server/db|reward_model/data)/
jansson\.h server/base/json\.h
sodium\.h server/base/crypto\.c
curl/ server/gateway/
cmark server/base/markdown\.c
zlib\.h server/(http|cli)/
zstd\.h server/http/
oneapi/ reward_model/nn/
LIST
}

# ---- lengths ----

check_functions()
{
    awk -v max=$FUNCTION_LINES '
        FNR == 1 { start = 0 }
        /^{/ { start = FNR; name = previous }
        /^}/ && start { if (FNR - start + 1 > max)
            printf "%s:%d: %d lines: %s\n", FILENAME, start, FNR - start + 1, name; start = 0 }
        !/^{/ { previous = $0 }' $(server_files)
}

check_columns()
{
    grep -nHE "^.{$((COLUMNS_MAX + 1)),}" $(text_files) | cut -c1-100
}

# longer MAX FILE...: files of more lines than that
longer()
{
    local max=$1
    shift
    [ $# -gt 0 ] && wc -l "$@" | awk -v max="$max" '$2 != "total" && $1 > max {print $2 ": " $1}'
}

check_lengths()
{
    longer $SOURCE_LINES $(server_files | grep '\.c$' | grep -v '/ops_[a-z_]*\.c$')
    longer 900 $(server_files | grep '/ops_[a-z_]*\.c$')
    longer $HEADER_LINES $(server_files | grep '\.h$' | grep -v '/nn/ops\.h$')
    longer $SCRIPT_LINES $(find static -name '*.js')
    longer 190 Makefile
    longer 200 tests/tidy.sh
}

# ---- what must not be there ----

check_banned()
{
    grep -nHE '(^|[^a-zA-Z0-9_])(sprintf|vsprintf|strcpy|strcat|gets|strtok|atoi|rand|srand)\(' \
        $(server_files)
    # asserts mean a bug; what the world can cause is an error path
    grep -nHE 'assert\([^)]*(malloc|calloc|realloc)' $(server_files)
}

check_unfinished()
{
    grep -rnE '(^|[^A-Za-z])(TODO|FIXME|XXX)([^A-Za-z]|$)' server reward_model schema static tests Makefile \
        --include='*.[ch]' --include='*.sql' --include='*.js' --include='*.py' --include='*.css' \
        --include=Makefile | cut -c1-100
}

check_html()
{
    # model output is inserted in one place only, and scripts never make code
    grep -rnE '\.(innerHTML|outerHTML) *=|insertAdjacentHTML|document\.write|[^.a-zA-Z]eval\(' \
        static --include='*.js' | grep -vE '^static/js/(html|sanitize|dom|markdown)[a-z]*\.js' |
        cut -c1-120
}

# ---- statements ----

check_statements()
{
    local file name lane
    for file in schema/queries/*.sql; do
        name=$(basename "$file" .sql)
        grep -rqE "(SQL_$name|SEND\([^,]*, *$name)([^a-z0-9_]|\$)" server reward_model ||
            echo "$file is used nowhere"
        lane=$(sed -nE '1s/^-- lane: ([a-z]+)$/\1/p' "$file")
        grep -qwF "LANE_${lane:-?}" server/db/sql.h ||
            echo "$file: the first line must be -- lane: NAME, of db/sql.h"
    done
}

check_headers()
{
    local file
    for file in $(server_files); do
        head -1 "$file" | grep -qE "^/\* $(basename "$file") - " ||
            echo "$file: the first line must be /* $(basename "$file") - what it is for"
    done
}

rule "includes point the wrong way" < <(check_includes)
rule "a library is known in more than its one place" < <(check_libraries)
rule "functions are at most $FUNCTION_LINES lines" < <(check_functions)
rule "lines are at most $COLUMNS_MAX columns" < <(check_columns)
rule "files are too long" < <(check_lengths)
rule "banned calls (use the bounded ones)" < <(check_banned)
rule "unfinished work" < <(check_unfinished)
rule "HTML is inserted in one place" < <(check_html)
rule "statements are used and have a lane" < <(check_statements)
rule "files begin with their purpose" < <(check_headers)
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
