// Package file keeps roots in a file that is overwritten in place: the root store for a machine that has nothing better.
//
// Each root is split over some megabytes, all of which are needed to have it back (see split.go). To destroy it, all of that is overwritten with random
// bytes where it lies, and synced. That is Clear in the words of NIST SP 800-88, not Purge: whoever takes the disk apart may find old
// copies of blocks, of which he needs every one. A disk that writes elsewhere each time makes "in place" an empty word; on the file systems known
// to do that the package refuses to work unless told otherwise, and then says so in its evidence. Flash does it below the file system, where
// nobody can see it; there the splitting is all there is. A TPM, an HSM or a key service is better.
//
// The file does not belong into backups, and should lie on another disk than the key state.
//
// docs/format/roots.md gives the bytes. A crash at any moment leaves a file that works: what was to be destroyed is, before anything else.
package file
