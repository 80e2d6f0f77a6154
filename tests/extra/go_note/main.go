// Checks and makes signed notes, checkpoints, proofs and tiles with Go's golang.org/x/mod/sumdb, which shares no
// code with Penelope. Every command reads standard input and writes JSON or a note; it exits 1 and says why if
// anything does not verify.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	log.SetFlags(0)
	input, err := io.ReadAll(os.Stdin)
	must(err)
	command, arguments := os.Args[1], os.Args[2:]
	switch command {
	case "open": // VKEY...: the note's text, if it verifies and its checkpoint has a root of a tree
		fmt.Print(open(input, arguments))
	case "sign": // SKEY...: the text as a note
		os.Stdout.Write(sign(string(input), arguments))
	case "tree": // SIZE...: roots and proofs of the trees over the records "0", "1", ...
		printTree(arguments)
	case "proofs": // JSON: inclusion and consistency proofs
		checkProofs(input)
	case "tiles": // FOLDER: all tiles of a log, against the text of the checkpoint that is the input
		checkTiles(input, arguments[0])
	default:
		log.Fatalf("no command %q", command)
	}
}

func open(message []byte, keys []string) string {
	var verifiers []note.Verifier
	for _, key := range keys {
		verifier, err := note.NewVerifier(key)
		must(err)
		verifiers = append(verifiers, verifier)
	}
	opened, err := note.Open(message, note.VerifierList(verifiers...))
	must(err)
	return opened.Text
}

func sign(text string, keys []string) []byte {
	var signers []note.Signer
	for _, key := range keys {
		signer, err := note.NewSigner(key)
		must(err)
		signers = append(signers, signer)
	}
	message, err := note.Sign(&note.Note{Text: text}, signers...)
	must(err)
	return message
}

type hashes []tlog.Hash

func (known hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var found []tlog.Hash
	for _, index := range indexes {
		found = append(found, known[index])
	}
	return found, nil
}

type inclusion struct {
	Index, Size int64
	Leaf, Root  tlog.Hash
	Proof       []tlog.Hash
}

type consistency struct {
	Old, Size     int64
	OldRoot, Root tlog.Hash
	Proof         []tlog.Hash
}

type proofs struct {
	Inclusion   []inclusion
	Consistency []consistency
}

func printTree(arguments []string) {
	var sizes []int64
	for _, argument := range arguments {
		var size int64
		_, err := fmt.Sscan(argument, &size)
		must(err)
		sizes = append(sizes, size)
	}
	var stored hashes
	var made proofs
	for index := int64(0); index < sizes[len(sizes)-1]; index++ {
		more, err := tlog.StoredHashes(index, []byte(fmt.Sprint(index)), stored)
		must(err)
		stored = append(stored, more...)
	}
	root := func(size int64) tlog.Hash {
		hash, err := tlog.TreeHash(size, stored)
		must(err)
		return hash
	}
	for number, size := range sizes {
		for _, index := range []int64{0, size / 2, size - 1} {
			proof, err := tlog.ProveRecord(size, index, stored)
			must(err)
			leaf := tlog.RecordHash([]byte(fmt.Sprint(index)))
			made.Inclusion = append(made.Inclusion, inclusion{index, size, leaf, root(size), proof})
		}
		for _, old := range sizes[:number+1] {
			proof, err := tlog.ProveTree(size, old, stored)
			must(err)
			made.Consistency = append(made.Consistency, consistency{old, size, root(old), root(size), proof})
		}
	}
	must(json.NewEncoder(os.Stdout).Encode(made))
}

func checkProofs(input []byte) {
	var given proofs
	must(json.Unmarshal(input, &given))
	for _, each := range given.Inclusion {
		must(tlog.CheckRecord(each.Proof, each.Size, each.Root, each.Index, each.Leaf))
	}
	for _, each := range given.Consistency {
		must(tlog.CheckTree(each.Proof, each.Size, each.Root, each.Old, each.OldRoot))
	}
	fmt.Println(len(given.Inclusion) + len(given.Consistency))
}

// tiles reads tiles of height 8 from a folder that is laid out as C2SP tlog-tiles says: without the height, which
// Go's path has in second place.
type tiles string

func (folder tiles) Height() int { return 8 }

func (folder tiles) ReadTiles(wanted []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range wanted {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		content, err := os.ReadFile(filepath.Join(string(folder), path))
		if err != nil {
			return nil, err
		}
		data = append(data, content)
	}
	return data, nil
}

func (folder tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func checkTiles(text []byte, folder string) {
	// Go's own checkpoints begin with another first line; size and root stand alike.
	lines := strings.SplitN(string(text), "\n", 4)
	tree, err := tlog.ParseTree([]byte("go.sum database tree\n" + lines[1] + "\n" + lines[2] + "\n"))
	must(err)
	var wanted []int64
	for level := 0; tree.N>>level > 0; level += 8 {
		for index := int64(0); index < tree.N>>level; index++ {
			wanted = append(wanted, tlog.StoredHashIndex(level, index))
		}
	}
	read, err := tlog.TileHashReader(tree, tiles(folder)).ReadHashes(wanted)
	must(err)
	// The reader of x/mod 0.7.0 checks too few tiles where the tree's root has more parts than tiles, so the whole
	// tree is built anew from the leaves.
	var stored hashes
	for index := int64(0); index < tree.N; index++ {
		more, err := tlog.StoredHashesForRecordHash(index, read[index], stored)
		must(err)
		stored = append(stored, more...)
	}
	root, err := tlog.TreeHash(tree.N, stored)
	must(err)
	if root != tree.Hash {
		log.Fatal("the leaves have another root than the checkpoint")
	}
	for place, index := range wanted {
		if stored[index] != read[place] {
			log.Fatalf("the tiles hold a wrong hash at %d", index)
		}
	}
	fmt.Println(tree.N)
}
