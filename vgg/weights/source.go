package weights

// A Source is an open file of tensors, of any format that this package reads. Several
// goroutines may use it, but not while it is closed.
type Source interface {
	// Name returns the file's name, for messages.
	Name() string
	// Format returns the name of the format, such as "safetensors".
	Format() string
	// Names lists the tensors in ascending order. The slice is the caller's.
	Names() []string
	// Info returns the type and shape of a tensor without reading it. The error
	// wraps ErrNotFound if there is none of that name. The slice is the caller's.
	Info(name string) (DType, []int, error)
	// Tensor returns a tensor. The error wraps ErrNotFound if there is none of
	// that name. Data is valid until Close.
	Tensor(name string) (Tensor, error)
	// Metadata returns the file's free text, which may be empty. The map is the
	// caller's.
	Metadata() map[string]string
	// Release is Tensor.Release for all tensors.
	Release()
	// Close ends the use of the source and of the Data of all its tensors.
	Close() error
}
