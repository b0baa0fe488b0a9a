// Package train trains networks of VGG's shape by the recipe of Simonyan & Zisserman (ICLR
// 2015), section 3.1: mini-batch gradient descent with momentum on the softmax
// cross-entropy, weight decay, dropout on the fully connected layers, random crops, flips,
// scales and colours, and a learning rate that falls when the validation accuracy stops
// improving. Deeper networks may start from the weights of shallower ones.
//
// Everything random is a function of the recipe's seed, the epoch and the number of the
// picture. So a run that was interrupted and resumed ends with the same bits as one that was
// not, whatever the number of workers.
package train
