# Completion of cvae in bash. The first line of an answer says whether bash completes files itself; the others are words.
_cvae() {
  local line kind=
  COMPREPLY=()
  compopt +o default 2>/dev/null # bash 3 has no compopt
  while IFS= read -r line; do
    if [[ -z $kind ]]; then
      kind=$line
    else
      COMPREPLY+=("$line")
    fi
  done < <(_CVAE_COMPLETE=bash "${1/#\~/$HOME}" "$COMP_LINE" "$COMP_POINT" "$COMP_WORDBREAKS" 2>/dev/null)
  case $kind in
    files) compopt -o default ;;
    folders) compopt -o dirnames ;;
    unfinished) compopt -o nospace ;;
  esac 2>/dev/null
}
complete -o default -F _cvae cvae
