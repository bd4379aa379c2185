#!/usr/bin/env bash
# Fetches the preprocessed REES46 e-commerce sessions from Google Drive, checks the archive and unpacks it.
#   bash script/dowload_dataset_from_gdrive.bash [FOLDER]      FOLDER: ~/dataset_path unless given
set -euo pipefail

FILE_ID=1YtNyC9kxM9KDxP74DTagPTLFZs7k9FuH
NAME=ecommerce_preproc_v5.zip
folder=${1:-$HOME/dataset_path}
archive=$folder/$NAME

fail() { echo "error: $*" >&2; exit 2; }

command -v gdown >/dev/null || fail "gdown is not installed; run: pip install gdown"
command -v unzip >/dev/null || fail "unzip is not installed; install it with your system's package manager"
mkdir -p "$folder" || fail "cannot write to $folder; name another folder"

if [ ! -f "$archive" ]; then
    echo "Fetching $NAME into $folder"
    gdown "$FILE_ID" -O "$archive.part" || {
        rm -f "$archive.part"
        fail "the download failed: is there a network, and does https://drive.google.com/uc?id=$FILE_ID open in a browser?"
    }
    unzip -tqq "$archive.part" || {
        rm -f "$archive.part"
        fail "what came is no whole zip archive (Google Drive answers a page when too many fetch a file); try again later"
    }
    mv "$archive.part" "$archive"
else
    echo "$archive is there already"
fi
echo "Unpacking"
unzip -qo "$archive" -d "$folder"
echo "Done. Train with --data_path and the folder that holds session_start_date=...-train.parquet:"
find "$folder" -name 'session_start_date=*' -printf '  %h\n' | sort -u | head -5
