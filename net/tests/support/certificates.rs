//! Certificate authorities and certificates, made for one test.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};

/// An authority, its files in a folder of the test's.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

/// A certificate with its key, as PEM files.
#[derive(Clone, Debug)]
pub struct Files {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// What is special about a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Oddity {
    None,
    Expired,
    NotYetValid,
    SelfSigned,
}

impl Authority {
    /// A new one; its certificate goes into `NAME.pem`.
    pub fn new(folder: &Path, name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let authority = Authority {
            issuer,
            folder: folder.to_path_buf(),
        };
        std::fs::write(folder.join(format!("{name}.pem")), authority.issuer.pem()).expect("writes");
        authority
    }

    /// A certificate for the common name `name` and the hosts; its files are `FILE.cert` and `FILE.key`.
    pub fn issue(&self, file: &str, name: &str, hosts: &[&str], oddity: Oddity) -> Files {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("names");
        params.distinguished_name = named(name);
        params.use_authority_key_identifier_extension = oddity != Oddity::SelfSigned;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        match oddity {
            Oddity::Expired => {
                params.not_before = date_time_ymd(2019, 1, 1);
                params.not_after = date_time_ymd(2020, 2, 29);
            }
            Oddity::NotYetValid => params.not_before = date_time_ymd(2090, 1, 1),
            // What `openssl req -x509` makes unless told otherwise.
            Oddity::SelfSigned => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            Oddity::None => {}
        }
        let key = KeyPair::generate().expect("a key");
        let cert = match oddity {
            Oddity::SelfSigned => params.self_signed(&key),
            _ => params.signed_by(&key, &self.issuer),
        }
        .expect("a certificate");
        let files = Files {
            cert: self.folder.join(format!("{file}.cert")),
            key: self.folder.join(format!("{file}.key")),
        };
        std::fs::write(&files.cert, cert.pem()).expect("writes");
        std::fs::write(&files.key, key.serialize_pem()).expect("writes");
        files
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::OrganizationName, "Test");
    names.push(DnType::CommonName, name);
    names
}
