# Makes certificates as users make them with OpenSSL, and some that no server should take: NAME.crt with NAME.key.
set -e
key() {
    case $1 in
        rsa:*) openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:${1#rsa:} -out $2.key ;;
        ed25519) openssl genpkey -algorithm ED25519 -out $2.key ;;
        *) openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:$1 -out $2.key ;;
    esac
}
# authority NAME KEY EXTENSIONS: a self-signed certificate
authority() {
    key $2 $1
    printf "[req]\ndistinguished_name=dn\n[dn]\n[ext]\n$3\n" >$1.cnf
    openssl req -x509 -new -key $1.key -subj "/CN=$1" -days 2 -config $1.cnf -extensions ext -out $1.crt
}
# issue NAME KEY AUTHORITY EXTENSIONS ARGUMENTS...: version 1 where it has no extensions
issue() {
    key $2 $1
    openssl req -new -key $1.key -subj "/CN=$1" -out $1.csr
    printf "$4" >$1.ext
    name=$1 by=$3
    if [ -n "$4" ]; then extensions="-extfile $1.ext"; else extensions=; fi
    shift 4
    openssl x509 -req -in $name.csr -CA $by.crt -CAkey $by.key -set_serial 0x$(openssl rand -hex 8) -days 2 $extensions "$@" -out $name.crt
}
authority ca P-256 'basicConstraints=critical,CA:TRUE'
authority ca-521 P-521 'basicConstraints=critical,CA:TRUE'
authority ca-mute P-256 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature'
authority ca-of-servers P-256 'basicConstraints=critical,CA:TRUE\nextendedKeyUsage=serverAuth'
authority ca-short P-256 'basicConstraints=critical,CA:TRUE,pathlen:0'
authority ca-of-names P-256 'basicConstraints=critical,CA:TRUE\nnameConstraints=critical,permitted;DNS:lab.test'
authority own P-384 'basicConstraints=critical,CA:TRUE\nsubjectAltName=DNS:localhost'
issue server P-256 ca 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth'
issue v1 P-256 ca ''
issue usual P-256 ca 'extendedKeyUsage=clientAuth'
issue any P-256 ca 'extendedKeyUsage=anyExtendedKeyUsage'
issue is-ca P-256 ca 'basicConstraints=CA:TRUE'
issue p521 P-521 ca-521 '' -sha256
issue p384 P-384 ca '' -sha384
issue sha512 P-256 ca '' -sha512
issue rsa1024 rsa:1024 ca ''
issue rsa2048 rsa:2048 ca ''
issue ed25519 ed25519 ca ''
issue middle P-256 ca 'basicConstraints=CA:TRUE'
issue by-middle P-256 middle ''
issue named P-256 ca-of-names 'subjectAltName=DNS:a.lab.test'
issue rsa768 rsa:768 ca ''
issue sha1 P-256 ca '' -sha1
issue of-server P-256 ca 'extendedKeyUsage=serverAuth'
issue by-mute P-256 ca-mute ''
issue by-servers P-256 ca-of-servers 'extendedKeyUsage=clientAuth'
issue by-leaf P-256 usual ''
issue short-middle P-256 ca-short 'basicConstraints=CA:TRUE'
issue too-deep P-256 short-middle ''
issue misnamed P-256 ca-of-names 'subjectAltName=DNS:a.other.test'
issue critical P-256 ca '1.2.3.4=critical,DER:0500'
issue expired P-256 ca '' -days -1
authority stranger P-256 'basicConstraints=critical,CA:TRUE'
cp v1.key forged.key
openssl x509 -in v1.crt -outform DER -out forged.der
last=$(tail -c 1 forged.der | od -An -tu1)
printf "\\$(printf %03o $((last ^ 1)))" | dd of=forged.der bs=1 conv=notrunc seek=$(($(stat -c %s forged.der) - 1))
openssl x509 -inform DER -in forged.der -out forged.crt
cat middle.crt >>by-middle.crt
cat usual.crt >>by-leaf.crt
cat short-middle.crt >>too-deep.crt
cat ca-521.crt ca-mute.crt ca-of-servers.crt ca-short.crt ca-of-names.crt own.crt >>ca.crt
